package ladder

import (
	"math"
	"testing"
)

func TestSum(t *testing.T) {
	spot := Host{CPUs: 4, Memory: 8192, Capacity: "FARGATE", Slots: 2, USD: 0.072}
	own := Host{CPUs: 2, Memory: 4096, Slots: 1}
	plan := &Job{&Plan{Scan: 10}, &End{Duration: 600, Size: 1000}}
	part := func(h Host, slot float64) Part {
		p := Part{Host: h, Effort: Effort{Slot: slot, Encode: slot - 2, Upload: 1, CPU: 3 * slot, Read: 500, Written: 200}}
		p.Price(h)
		return p
	}
	got := Sum(plan, []Part{part(spot, 100), part(own, 50), part(spot, 90)})
	// 200 s of slots of 0.036 USD an hour: the scan's 10 s too, the own host's 50 s for nothing.
	const usd = 200.0 / 3600 * 0.036
	if got.Slot != 250 || got.Encode != 234 || got.Upload != 3 || got.CPU != 720 || got.Read != 2500 || got.Written != 600 || got.Scan != 10 {
		t.Errorf("%+v", got)
	}
	if math.Abs(got.USD-usd) > 1e-12 || math.Abs(got.PerMinute-usd/10) > 1e-12 {
		t.Errorf("%v USD, %v a minute; want %v", got.USD, got.PerMinute, usd)
	}
	if len(got.Hosts) != 2 || got.Hosts[0] != (HostParts{spot, 2}) || got.Hosts[1] != (HostParts{own, 1}) {
		t.Errorf("hosts %+v", got.Hosts)
	}
}
