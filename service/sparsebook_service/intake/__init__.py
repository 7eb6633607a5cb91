"""How a request becomes the input of a job."""
