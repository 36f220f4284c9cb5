package fleet

import (
	"fmt"
	"math"
	"regexp"

	"afterlive.alt/ecs"
)

// Policy is how a template scales its fleet.
type Policy struct {
	Max           int
	OnDemand      int     // so many tasks are not spot
	Target        float64 // messages, in flight included, for each task
	Live          float64 // messages that a live stream counts as
	PerDesired    bool    // each task that is wanted, not each that runs
	Out, In       float64 // cooldowns, seconds
	OutOnly       bool    // target tracking doesn't scale in
	Steps         []Step  // out of zero, by the messages that wait beyond Threshold
	Threshold     float64
	Surge         float64 // messages that wait for each in flight, above which the steps are taken too; 0: never
	WaitsFor      int     // minutes that messages must wait before the first task
	StepCooldown  float64 // seconds
	HalveFor      int     // minutes of nothing waiting, and less than half of the tasks at work, after which half of them go; 0: never
	HalveOf       int     // so many of the last minutes
	HalveCooldown float64 // seconds
	IdleFor       int     // minutes without a message before the last task goes
	AwakeInHours  float64 // how often somebody touches the queue, so that its figures go on; 0: nobody
	Drain, Lease  float64 // seconds, of the worker
	CPUs, Memory  float64 // of a task: virtual ones, GiB
	Disk          float64 // GiB
}

// Step adds tasks where so many messages wait.
type Step struct {
	From, To float64
	Add      int
}

// ReadPolicy reads the template of the fleet. A parameter has its default.
func ReadPolicy(t ecs.Template) (*Policy, error) {
	const tracking, steps = "TargetTrackingScalingPolicyConfiguration/", "StepScalingPolicyConfiguration/"
	p := &Policy{
		Max: int(t.Number("ScalableTarget", "MaxCapacity")), OnDemand: int(t.Parameter("OnDemandTasks")),
		Target: t.Number("ByBacklog", tracking+"TargetValue"), Live: t.Parameter("MessagesPerLiveStream"),
		Out: t.Number("ByBacklog", tracking+"ScaleOutCooldown"), In: t.Number("ByBacklog", tracking+"ScaleInCooldown"),
		Threshold: t.Number("WorkWaits", "Threshold"), WaitsFor: int(t.Number("WorkWaits", "EvaluationPeriods")),
		StepCooldown: t.Number("FromZero", steps+"Cooldown"), IdleFor: int(t.Number("NothingToDo", "EvaluationPeriods")),
		CPUs: t.Number("Worker", "Cpu") / 1024, Memory: t.Number("Worker", "Memory") / 1024, Disk: t.Number("Worker", "EphemeralStorage/SizeInGiB"),
	}
	p.OutOnly = t.Property("ByBacklog", tracking+"DisableScaleIn") == true
	p.Surge = 20
	if t.Property("Halve", steps+"StepAdjustments/0/ScalingAdjustment") == int64(-50) {
		p.HalveFor, p.HalveOf, p.HalveCooldown = int(t.Number("Surplus", "DatapointsToAlarm")), int(t.Number("Surplus", "EvaluationPeriods")), t.Number("Halve", steps+"Cooldown")
	}
	for i := 0; t.Property("FromZero", fmt.Sprintf("%sStepAdjustments/%d", steps, i)) != nil; i++ {
		at := fmt.Sprintf("%sStepAdjustments/%d/", steps, i)
		s := Step{From: t.Number("FromZero", at+"MetricIntervalLowerBound"), To: math.Inf(1), Add: int(t.Number("FromZero", at+"ScalingAdjustment"))}
		if t.Property("FromZero", at+"MetricIntervalUpperBound") != nil {
			s.To = t.Number("FromZero", at+"MetricIntervalUpperBound")
		}
		p.Steps = append(p.Steps, s)
	}
	for i := 0; t.Property("Worker", fmt.Sprintf("ContainerDefinitions/0/Environment/%d", i)) != nil; i++ {
		at := fmt.Sprintf("ContainerDefinitions/0/Environment/%d/", i)
		switch t.Text("Worker", at+"Name") {
		case "AFTERLIVE_DRAIN":
			p.Drain = seconds(t.Text("Worker", at+"Value"))
		case "AFTERLIVE_LEASE":
			p.Lease = seconds(t.Text("Worker", at+"Value"))
		}
	}
	if m := regexp.MustCompile(`rate\((\d+) hours?\)`).FindStringSubmatch(t.Text("Awake", "ScheduleExpression")); m != nil {
		p.AwakeInHours = seconds(m[1] + "s")
	}
	// What is not read is as it was when this was written.
	for path, want := range map[[2]string]string{
		{"WorkWaits", "Metrics/2/Expression"}:                                          "IF(inflight < 1 OR visible > 20 * inflight, visible, 0)",
		{"Surplus", "Metrics/4/Expression"}:                                            "IF(visible < 1 AND wanted > 2 AND inflight < wanted / 2 AND live * ${MessagesPerLiveStream} / ${MessagesPerTask} < wanted / 2, 1, 0)",
		{"NothingToDo", "Metrics/3/Expression"}:                                        "visible + inflight + live",
		{"ByBacklog", tracking + "CustomizedMetricSpecification/Metrics/4/Expression"}: "(visible + inflight + ${MessagesPerLiveStream} * live) / IF(running > 0, running, 1)",
		{"FromZero", steps + "AdjustmentType"}:                                         "ChangeInCapacity",
		{"Halve", steps + "AdjustmentType"}:                                            "PercentChangeInCapacity",
		{"ToZero", steps + "AdjustmentType"}:                                           "ExactCapacity",
	} {
		if got := t.Text(path[0], path[1]); got != want {
			return nil, fmt.Errorf("read scaling policy: %s has %q, which is not simulated", path[0], got)
		}
	}
	for what, n := range map[string]float64{
		"MaxTasks": float64(p.Max), "target": p.Target, "weight of live streams": p.Live, "scale-out cooldown": p.Out, "scale-in cooldown": p.In, "threshold": p.Threshold,
		"evaluation of waiting work": float64(p.WaitsFor), "step cooldown": p.StepCooldown, "evaluation of idleness": float64(p.IdleFor),
		"drain": p.Drain, "lease": p.Lease, "CPUs": p.CPUs, "memory": p.Memory, "steps": float64(len(p.Steps)), "halving": float64(p.HalveFor), "cooldown of halving": p.HalveCooldown,
	} {
		if n <= 0 {
			return nil, fmt.Errorf("read scaling policy: the template has no %s", what)
		}
	}
	return p, nil
}

// seconds reads whole ones, as "100s"; 0 if it is none.
func seconds(text string) (n float64) {
	if _, err := fmt.Sscanf(text, "%fs", &n); err != nil {
		return 0
	}
	return n
}
