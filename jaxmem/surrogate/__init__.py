"""Networks that stand in for a simulator, trained on its answers; each says how sure it is and where it was not trained."""
