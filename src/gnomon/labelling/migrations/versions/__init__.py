"""The steps, each as it was released: none is changed afterwards."""
