"""The agents on running machines: how often they ask (`pace`), what they are answered (`desk`), how an order
comes to one (`way`)."""
