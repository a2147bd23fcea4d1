"""Grafana's dashboards, generated, so that a metric's name is written once and checked."""
