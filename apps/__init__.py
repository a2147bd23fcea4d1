"""The doors: where people, schedules, programs and agents come in. They call flows and show results."""
