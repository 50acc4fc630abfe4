"""The concurrency pool of all that runs a model: trainings, proxies, evaluations.

`mixwright dev` gives it as many slots as the launcher takes trainings; on an instance without slots
nothing waits.
"""

POOL = "gpu"
