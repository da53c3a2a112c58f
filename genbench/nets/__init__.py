"""Networks: functions of time, state and label, independent of how they are trained."""
