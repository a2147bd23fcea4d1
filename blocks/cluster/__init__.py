"""Legs on a Kubernetes cluster: one client, one shared list-and-watch, one runner.

errors.py   what the API server's refusals mean
api.py      the one client of a process: requests, patience, typed errors
mirror.py   a local copy of what the API server holds, kept fresh by list and watch
view.py     the copies of one namespace, shared by everybody in the process
runner.py   `KubernetesCluster`, the runner
quota.py    how much of the cluster is free
"""
