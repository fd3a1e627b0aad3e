package gate

import "time"

// ForgeState is what the forge says a merge request is.
type ForgeState string

// What a merge request can be in its forge.
const (
	ForgeOpen   ForgeState = "open"
	ForgeMerged ForgeState = "merged"
	ForgeClosed ForgeState = "closed"
	ForgeLocked ForgeState = "locked" // GitLab: a merge is under way, usually for seconds
)

// User is an account of the forge. ID is what identifies; Username can be
// changed by its owner; Name is for people to read and may be anything.
type User struct {
	ID       int64  `json:"id,omitempty"`
	Username string `json:"username,omitempty"`
	Name     string `json:"name,omitempty"`
}

// Snapshot is what the forge said of a merge request when it was last read.
// Everything that is shown, stored or judged about it comes from here.
type Snapshot struct {
	Path        string     `json:"path"` // of the project: "payments/api"
	URL         string     `json:"url"`  // of the merge request
	Title       string     `json:"title"`
	Description string     `json:"description,omitempty"`
	State       ForgeState `json:"state"`
	Draft       bool       `json:"draft,omitempty"`
	Head        CommitID   `json:"head"`
	Source      string     `json:"source"`
	Target      string     `json:"target"`
	Fork        bool       `json:"fork,omitempty"` // the source branch is in another project
	From        int64      `json:"from,omitempty"` // the ID of the project that the source branch is in; 0: it is gone
	Author      User       `json:"author"`
	Reviewers   []User     `json:"reviewers,omitempty"`

	Merging     Mergeability `json:"merging"`
	AutoMerge   bool         `json:"auto_merge,omitempty"`   // the forge will merge by itself when its checks pass
	Pipeline    *Pipeline    `json:"pipeline,omitempty"`     // only if it belongs to Head
	HadPipeline bool         `json:"had_pipeline,omitempty"` // some commit of it has had one, be it gone by now
	Conflicts   bool         `json:"conflicts,omitempty"`
	Unresolved  bool         `json:"unresolved,omitempty"` // threads that block the merge

	MergeCommit CommitID  `json:"merge_commit,omitempty"`
	MergedBy    User      `json:"merged_by,omitzero"`
	MergedAt    time.Time `json:"merged_at,omitzero"`
	ClosedBy    User      `json:"closed_by,omitzero"`

	// Age is how old the merge request was when it was read, by the forge's clock.
	Age time.Duration `json:"age,omitempty"`
	// ReadAt is when the reading began, by the store's clock.
	ReadAt time.Time `json:"read_at,omitzero"`
	// SeenAt is when this head was first read, Since when it was first read with
	// this State and class of Merging.
	SeenAt time.Time `json:"seen_at,omitzero"`
	Since  time.Time `json:"since,omitzero"`
	// FormerPipeline is the merged-results pipeline that was seen with another
	// head; 0: none was.
	FormerPipeline int64 `json:"former_pipeline,omitempty"`
}

// remember takes over from an earlier reading what one alone cannot show.
func (s *Snapshot) remember(was *Snapshot) {
	s.SeenAt = s.ReadAt
	if was == nil {
		return
	}
	s.HadPipeline = s.HadPipeline || was.HadPipeline
	s.FormerPipeline = was.FormerPipeline
	switch p := was.Pipeline; {
	case was.Head == s.Head:
		s.SeenAt = was.SeenAt
	case p != nil && p.MergedResults:
		s.FormerPipeline = p.ID
	}
	if p := s.Pipeline; p != nil && p.MergedResults && p.ID == s.FormerPipeline {
		s.Pipeline = nil // it ran for the head before
	}
}

// Ready says that a request can be open for what the snapshot shows.
func (s *Snapshot) Ready() bool {
	return s != nil && (s.State == ForgeOpen || s.State == ForgeLocked) && !s.Draft
}

// MergeClass sorts the forge's answers to "can this be merged?" by what follows.
type MergeClass string

// The classes, by what follows.
const (
	MergeGo      MergeClass = "go"      // it can, now
	MergeSoon    MergeClass = "soon"    // the forge is still computing: look again in seconds
	MergeCI      MergeClass = "ci"      // a pipeline of this commit runs
	MergeBlocked MergeClass = "blocked" // a person has to do something
)

// Mergeability is the class and, for people and logs, the forge's own word for it.
type Mergeability struct {
	Class  MergeClass `json:"class"`
	Reason string     `json:"reason"`           // GitLab's detailed_merge_status, as it came
	Detail string     `json:"detail,omitempty"` // what the forge says besides, free text
	// Account is mrgate's own, as the forge calls it, where Reason is about what
	// that may not do.
	Account string `json:"account,omitempty"`
}

// Pipeline is the newest pipeline of the head commit.
type Pipeline struct {
	ID     int64  `json:"id"`
	Status string `json:"status"` // GitLab's: running, success, failed, canceled, skipped, manual …
	URL    string `json:"url,omitempty"`
	// MergedResults: it ran on a commit that the forge made of a head and the
	// target, and does not say of which head.
	MergedResults bool `json:"merged_results,omitempty"`
}

// Contents is what a head commit brings: read once for each head.
type Contents struct {
	Head    CommitID      `json:"head"`
	Size    *Size         `json:"size,omitempty"`  // nil: the forge could not say
	Files   []FileChange  `json:"files,omitempty"` // the largest first
	Commits []CommitTitle `json:"commits,omitempty"`
	// Committers are all who wrote or committed one of its commits. They are
	// complete, or Contents is an error: without them nobody knows whom the
	// rule bars from approving.
	Committers []Committer `json:"committers"`
	// Public says that everybody can read the project, and so a note in it.
	Public bool `json:"public,omitempty"`
}

// Size is how much changes.
type Size struct {
	Files     int `json:"files"`
	Additions int `json:"additions"`
	Deletions int `json:"deletions"`
	Commits   int `json:"commits"`
}

// FileChange is one file's part of it.
type FileChange struct {
	Path      string `json:"path"`
	Additions int    `json:"additions"`
	Deletions int    `json:"deletions"`
}

// CommitTitle is a commit as a card lists it.
type CommitTitle struct {
	ID    CommitID `json:"id"`
	Title string   `json:"title"`
}

// Committer is an author or committer of a commit: the account, where the forge
// knows one, and the e-mail address that the commit names (anybody can write
// any address into a commit, so it can only ever bar, never permit).
type Committer struct {
	User  User   `json:"user,omitzero"`
	Email string `json:"email,omitempty"`
}
