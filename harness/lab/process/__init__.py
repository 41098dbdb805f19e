"""The lab's first process: wiring, main loop, and the operations of the control socket."""
