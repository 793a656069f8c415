"""Measuring: accuracy with its interval, paired comparison, tables of tasks by strategies."""
