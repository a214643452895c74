"""What speaks for and against each suspect upstream of an alarm: features that know no name, no order and no degree.

`nodes` (metrics) and `events` (state changes) each answer a case with `suspects.Suspects`.

| what | where |
|---|---|
| how far series leave normal | `departure`, by `metric_kinds` |
| what shows between two nodes, and between a whole and its parts | `calls`, `parts` |
| which word fits what metrics did | `metric_signs` |
| what machines do when nothing is wrong | `habits` |
"""
