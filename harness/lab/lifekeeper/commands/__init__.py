"""The product's commands: both ends of the command socket, their options and output."""
