"""Detections, triage and reports over the ledger: pure functions of events. Nothing stands here yet."""
