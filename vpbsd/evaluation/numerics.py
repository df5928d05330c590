"""Versions of what is measured: raised by hand when a measurement gives other numbers.

They are in the keys of the stages that measure, so these run again and nothing else does.
"""

METRICS = 2
"""Of `metrics.measure`, in the key of every evaluation."""

VALIDATION = 2
"""Of the validation of a student while it is trained, in the keys of stages that have one."""
