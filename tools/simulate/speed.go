package main

// What encoding costs, in seconds of one core for a second of recording: measured with
// every rung of the built-in profiles (BenchmarkCosts), at 30 pictures a second, on the machine that
// docs/capacity.md names.
const (
	flatCost   = 2.15 // 1920x1080, profile flat
	sphereCost = 7.98 // 3840x1920, profile 360
)

// core is what a virtual CPU of Fargate, half of a physical core, is taken for: a share
// of a core of that machine. It was not measured.
const core = 0.6
