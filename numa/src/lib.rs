//! NUMA topology and thread pinning for applications.
