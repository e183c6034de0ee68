"""Detections, triage and reports over the ledger: pure functions of events. So far: how often people were asked."""
