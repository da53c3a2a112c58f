"""Networks: functions of time, state and label that know nothing of how they are trained."""
