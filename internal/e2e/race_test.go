//go:build race

package e2e

// raceFlag builds the binary with the race detector where the tests have it.
const raceFlag = "-race"
