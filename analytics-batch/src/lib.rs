//! analytics-batch
