"""Real parts for tests: Kafka brokers, Prometheus, Alertmanager and an HTTP receiver, all started and stopped here."""
