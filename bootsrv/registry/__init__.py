"""What is known and kept: nodes, leases, events, tokens, users, settings. All SQL of the product is in this
package."""
