package gate

import "fmt"

// Ref names a merge request for good: by the project's numeric ID, since paths
// are renamed and every developer can rename their own.
type Ref struct {
	Forge   string `json:"forge"`   // which code host: "gitlab"
	Project int64  `json:"project"` // the host's project ID
	Number  int64  `json:"number"`  // GitLab's IID, GitHub's number
}

// String is for logs and errors: "gitlab 47778247!7".
func (r Ref) String() string { return fmt.Sprintf("%s %d!%d", r.Forge, r.Project, r.Number) }

// CommitID is a full object name in hexadecimal digits.
type CommitID string

// Short is the first eight digits, as GitLab shows commits.
func (c CommitID) Short() string {
	if len(c) > 8 {
		return string(c[:8])
	}
	return string(c)
}
