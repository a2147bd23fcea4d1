"""Legs on a Kubernetes cluster: one client, one shared list-and-watch, one runner.

errors.py   what the API server's refusals mean
api.py      the one client of a process: requests, patience, typed errors
connect.py  how a process reaches a cluster
mirror.py   a local copy of what the API server holds, kept fresh by list and watch
view.py     the copies of one namespace, shared by everybody in the process
look.py     how a leg is, from what the view holds
checks.py   what must be so before a leg is queued
runner.py   `KubernetesCluster`, the runner
quota.py    how much of the cluster is free
doctor.py   what would keep legs from running
"""
