"""Shipped for tests of ours and of others: contract suites, fakes, small worlds with a known answer."""
