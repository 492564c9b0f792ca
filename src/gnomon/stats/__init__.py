"""Pure functions of arrays: intervals, calibration, agreement."""
