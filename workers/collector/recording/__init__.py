"""Recording a venue's traffic as it was received, for replay. See docs/recording.md."""
