//! resident-token
