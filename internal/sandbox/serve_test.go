package sandbox

import (
	"os"
	"path/filepath"
	"testing"
)

func TestWhatIsSaidToBeStartedCanBeStarted(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	if got := called("/tmp/go-build1/mrgate"); got != "/tmp/go-build1/mrgate" {
		t.Errorf("without one in the PATH it says %s", got)
	}
	if err := os.WriteFile(filepath.Join(dir, "mrgate"), nil, 0o700); err != nil {
		t.Fatal(err)
	}
	if got := called("/tmp/go-build1/mrgate"); got != "mrgate" {
		t.Errorf("with one in the PATH it says %s", got)
	}
}
