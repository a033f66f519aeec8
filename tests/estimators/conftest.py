"""Names the marker that scikit-learn's installed test module uses, so that it can be imported."""


def pytest_configure(config):
    config.addinivalue_line("markers", "thread_unsafe: scikit-learn's own; captures standard output")
