"""Pure functions of arrays: intervals, tests, calibration, agreement, win rates."""
