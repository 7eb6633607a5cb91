"""The data of a job: archives checked, split into three parts and laid out for a worker."""
