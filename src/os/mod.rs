//! The kernel, as plain functions.
