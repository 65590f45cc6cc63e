//! Contenders, workloads and the report.
