"""What a server counts, for Prometheus. Nothing here holds a text, a key or an address."""

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)


class Metrics:
    """The counters of a server.

    Args:
        many: Whether several processes serve the port. They then count in files in `$PROMETHEUS_MULTIPROC_DIR`, which
            must have been set before this module was imported, and each gives the sum.
    """

    def __init__(self, many: bool = False) -> None:
        self._many = many
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "hf_spam_requests", "Requests that were answered.", ["path", "status"], registry=registry
        )
        self._seconds = Histogram(
            "hf_spam_request_seconds", "Time to answer a request.", ["path"], buckets=_SECONDS, registry=registry
        )
        self._texts = Counter("hf_spam_texts", "Texts that were scored.", registry=registry)
        self._cut = Counter("hf_spam_cut_texts", "Texts that were longer than the model reads.", registry=registry)
        self._batch = Histogram(
            "hf_spam_batch_texts", "Texts that were scored together.", buckets=_BATCHES, registry=registry
        )

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count a request. `path` is one of the app's own, not what a client wrote."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def scored(self, texts: int, cut: int) -> None:
        """Count texts that were scored together."""
        self._texts.inc(texts)
        self._batch.observe(texts)
        if cut:
            self._cut.inc(cut)

    def render(self) -> bytes:
        """Return all figures in Prometheus' text format."""
        registry = self._registry
        if self._many:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)
        return generate_latest(registry)
