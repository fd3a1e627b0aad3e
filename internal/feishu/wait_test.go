package feishu

import (
	"testing"
	"time"
)

func TestConnectionIsTriedAgainSoonAndThenEveryMinute(t *testing.T) {
	for tries, most := range map[int]time.Duration{
		0: time.Second, 1: 2 * time.Second, 4: 16 * time.Second, 6: time.Minute, 7: time.Minute, 1000: time.Minute,
	} {
		for range 100 {
			if got := waitBefore(tries); got < most/2 || got > most {
				t.Errorf("after %d tries: %s, want %s to %s", tries, got, most/2, most)
			}
		}
	}
}
