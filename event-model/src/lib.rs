//! event-model
