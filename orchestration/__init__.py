"""When and where: definitions, jobs, schedules, sensors, deployments, the command line."""
