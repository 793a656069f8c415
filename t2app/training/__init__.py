"""Training of experts: pure losses, sampled rollouts, the RL loop, and runs on disk."""
