//! producer-api
