"""What is learnt: audio encoders, text encoders, contexts and fusion, each by the one loop."""
