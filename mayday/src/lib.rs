//! mayday
