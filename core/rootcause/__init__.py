"""Where an alarm started, and of what kind the cause is.

| what | where |
|---|---|
| localizers, one a file | `bfs_temporal` `robust_deviation` `graph_residual` `ranked_correlation` `tree_scan` `drilldown` `reranker` |
| what the plain ones rank by | `surprise` |
| what `tree_scan` estimates from | `deviation`, `likelihood` |
| what `reranker` knows of suspects, and how it weighs that | `evidence`, `choice` |
| the kind of a cause: by its signature, and learned from labels | `cause_type`; `case_features`, `diagnosis` |
| alerts that share a root | `grouping` |
"""
