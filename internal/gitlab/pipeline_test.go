package gitlab_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"mrgate/internal/gate"
	"mrgate/internal/gate/gatetest"
	"mrgate/internal/gitlabsim"
)

// What a gate makes of pipelines: under a rule that waits for them, and under one
// that leaves it to GitLab.

// servers are projects that demand no pipeline, one that does, and one on a server
// that merges at once where an auto-merge is asked for and nothing runs.
func servers() map[string]setting {
	return map[string]setting{
		"":                           {},
		", demanded by the project":  {project: gitlabsim.Project{PipelinesMustSucceed: true}},
		", not so, on an old server": {gitlab: gitlabsim.Options{OldAutoMerge: true}},
	}
}

// autoMerges counts the auto-merges that were asked for.
func (b *bench) autoMerges() int {
	n := 0
	for _, c := range b.Calls() {
		if c.Method == http.MethodPut && strings.Contains(string(c.Body), `"auto_merge":true`) {
			n++
		}
	}
	return n
}

func TestRuleWaitsForThePipeline(t *testing.T) {
	for name, on := range servers() {
		waiting := func(open gitlabsim.MergeRequest) setting {
			s := on
			s.rule, s.open = whenPipelineSucceeds, open
			return s
		}
		t.Run("passed"+name, func(t *testing.T) {
			t.Parallel()
			onBench(t, waiting(gitlabsim.MergeRequest{HasPipeline: true}), func(b *bench) {
				b.SetPipeline(7, 1, "success")
				b.approve()
				b.merged()
				if b.autoMerges() > 0 {
					t.Error("an auto-merge was asked for")
				}
			})
		})
		t.Run("runs"+name, func(t *testing.T) {
			t.Parallel()
			onBench(t, waiting(gitlabsim.MergeRequest{HasPipeline: true}), func(b *bench) {
				b.approve()
				b.sees(b.alice, "Approved, waiting for the pipeline ·")
				if !b.mr().AutoMerge || b.puts() != 1 {
					t.Errorf("auto-merge %v, %d merges", b.mr().AutoMerge, b.puts())
				}
				b.SetPipeline(7, 1, "success")
				wait(11 * time.Minute)
				b.merged()
				if b.puts() != 1 {
					t.Errorf("%d merges", b.puts())
				}
			})
		})
		t.Run("fails while it is waited for"+name, func(t *testing.T) {
			t.Parallel()
			onBench(t, waiting(gitlabsim.MergeRequest{HasPipeline: true}), func(b *bench) {
				b.approve()
				b.SetPipeline(7, 1, "failed")
				wait(11 * time.Minute)
				b.blocked("Approved, but blocked ·", "failed; Bob has to fix or retry it")
				b.SetPipeline(7, 1, "running") // retried
				wait(11 * time.Minute)
				b.sees(b.carol, "Approved, waiting for the pipeline ·")
				b.SetPipeline(7, 1, "success")
				wait(11 * time.Minute)
				b.merged()
			})
		})
		for status, says := range map[string]string{
			"failed": "failed; Bob has to fix or retry it", "skipped": "was skipped; Bob has to run it",
			"canceled": "was cancelled; Bob has to run it again", "canceling": "was cancelled; Bob has to run it again",
			"manual": "waits for a manual job, which Bob has to run", "brand_new": "has not passed; Bob has to see why",
		} {
			t.Run(status+name, func(t *testing.T) {
				t.Parallel()
				onBench(t, waiting(gitlabsim.MergeRequest{HasPipeline: true}), func(b *bench) {
					b.SetPipeline(7, 1, status)
					b.approve()
					b.blocked("Approved, but blocked ·", says)
					link := "[View pipeline #"
					for _, who := range []gate.Person{b.alice, b.carol, b.bob} {
						b.sees(who, link, "/acme/webhook/-/pipelines/")
					}
					wait(20 * time.Minute)
					if b.puts() > 0 {
						t.Errorf("%d merges", b.puts())
					}
					b.SetPipeline(7, 1, "success")
					wait(11 * time.Minute)
					b.merged()
				})
			})
		}
		for kind, pipeline := range map[string]gitlabsim.Pipeline{
			"":                 {Ref: "refs/merge-requests/1/head"},
			"a merged-results": {Ref: "refs/merge-requests/1/merge"},
		} {
			for _, status := range []string{"success", "running"} {
				t.Run(strings.TrimSpace(kind+" pipeline of the commit before, "+status+name), func(t *testing.T) {
					t.Parallel()
					onBench(t, waiting(gitlabsim.MergeRequest{}), func(b *bench) {
						p := pipeline
						p.SHA, p.SourceSHA, p.Status = b.mr().Head, b.mr().Head, status
						if kind != "" {
							p.SHA = strings.Repeat("e", 40)
						}
						b.PutPipeline(7, 1, &p)
						b.look()
						wait(time.Second)
						b.PushWithoutPipeline(7, 1)
						b.look()
						wait(time.Second)
						b.approve()
						wait(20 * time.Minute)
						if b.puts() > 0 || b.mr().State != "opened" {
							t.Errorf("%s after %d merges", b.mr().State, b.puts())
						}
						why := "The rule waits for a pipeline, and this commit has none; Bob has to run one"
						if on.project.PipelinesMustSucceed {
							why = "The project requires a pipeline, and this commit has none; Bob has to run one"
						}
						b.blocked("Approved, but blocked ·", why)
						if text := reads(b.newest(b.alice).Card); strings.Contains(text, "/pipelines/") {
							t.Errorf("Alice reads of a pipeline that is another commit's\n%s", text)
						}
						b.SetPipeline(7, 1, "success")
						wait(11 * time.Minute)
						b.merged()
					})
				})
			}
		}
	}
}

// No pipeline is fine only where there never was one.
func TestRuleWithoutAPipeline(t *testing.T) {
	waiting := setting{rule: whenPipelineSucceeds}
	t.Run("never had one", func(t *testing.T) {
		t.Parallel()
		s := waiting
		s.open = gitlabsim.MergeRequest{CreatedAt: time.Date(1999, 12, 31, 23, 58, 0, 0, time.UTC)} // a bubble begins in 2000
		onBench(t, s, func(b *bench) {
			b.approve()
			b.merged()
		})
	})
	for name, skew := range map[string]time.Duration{"": 0, ", and its clock is slow": -2 * time.Hour, ", and its clock is fast": 2 * time.Hour} {
		t.Run("opened within GitLab's last minute"+name, func(t *testing.T) {
			t.Parallel()
			s := waiting
			s.gitlab.Now = func() time.Time { return time.Now().Add(skew) }
			onBench(t, s, func(b *bench) {
				b.approve() // five seconds after the opening
				wait(50 * time.Second)
				b.sees(b.alice, "Approved, merging ·")
				if b.puts() > 0 {
					t.Errorf("%d merges", b.puts())
				}
				wait(20 * time.Second)
				b.merged()
			})
		})
	}
	t.Run("it comes within the minute", func(t *testing.T) {
		t.Parallel()
		onBench(t, waiting, func(b *bench) {
			b.approve()
			wait(20 * time.Second)
			b.SetPipeline(7, 1, "running")
			wait(20 * time.Second)
			if !b.mr().AutoMerge {
				t.Error("no auto-merge")
			}
			b.SetPipeline(7, 1, "success")
			wait(11 * time.Minute)
			b.merged()
		})
	})
	for name, gone := range map[string]func(b *bench){
		"seen by mrgate": func(b *bench) {
			b.SetPipeline(7, 1, "created")
			b.look()
			wait(time.Second)
			b.PutPipeline(7, 1, nil)
		},
		"remembered by GitLab alone": func(b *bench) {
			b.SetPipeline(7, 1, "failed")
			b.SetPipeline(7, 1, "running")
			b.PutPipeline(7, 1, nil)
		},
	} {
		t.Run("deleted, "+name, func(t *testing.T) {
			t.Parallel()
			s := waiting
			s.open = gitlabsim.MergeRequest{CreatedAt: time.Date(1999, 12, 31, 23, 0, 0, 0, time.UTC)}
			onBench(t, s, func(b *bench) {
				gone(b)
				b.approve()
				wait(20 * time.Minute)
				b.blocked("Approved, but blocked ·", "The rule waits for a pipeline, and this commit has none")
				if b.puts() > 0 {
					t.Errorf("%d merges", b.puts())
				}
			})
		})
	}
}

// Left out, GitLab decides.
func TestPipelineLeftToGitLab(t *testing.T) {
	demands := gitlabsim.Project{PipelinesMustSucceed: true}
	for _, status := range []string{"running", "failed", "skipped", "canceled", "manual", "success"} {
		t.Run("not demanded, "+status, func(t *testing.T) {
			t.Parallel()
			onBench(t, setting{open: gitlabsim.MergeRequest{HasPipeline: true}}, func(b *bench) {
				b.SetPipeline(7, 1, status)
				b.approve()
				b.merged()
				if b.autoMerges() > 0 {
					t.Error("an auto-merge was asked for")
				}
			})
		})
	}
	t.Run("demanded, runs", func(t *testing.T) {
		t.Parallel()
		onBench(t, setting{project: demands, open: gitlabsim.MergeRequest{HasPipeline: true}}, func(b *bench) {
			b.approve()
			if !b.mr().AutoMerge {
				t.Error("no auto-merge")
			}
			b.sees(b.alice, "Approved, waiting for the pipeline ·")
			b.SetPipeline(7, 1, "success")
			wait(11 * time.Minute)
			b.merged()
		})
	})
	t.Run("demanded, failed", func(t *testing.T) {
		t.Parallel()
		onBench(t, setting{project: demands, open: gitlabsim.MergeRequest{HasPipeline: true}}, func(b *bench) {
			b.SetPipeline(7, 1, "failed")
			b.approve()
			b.blocked("Approved, but blocked ·", "failed; Bob has to fix or retry it")
			b.sees(b.bob, "[View pipeline #")
			b.SetPipeline(7, 1, "success")
			wait(11 * time.Minute)
			b.merged()
		})
	})
}

// An auto-merge that GitLab does not have any more was taken back by somebody: it
// is said, and not set again over their head.
func TestDroppedAutoMergeIsNoticed(t *testing.T) {
	for name, c := range map[string]struct {
		rule    setting
		happens func(b *bench)
	}{
		"while the pipeline runs": {
			setting{project: gitlabsim.Project{PipelinesMustSucceed: true}},
			func(b *bench) { b.CancelAutoMerge(7, 1, "erin") },
		},
		"before the pipeline passes": {
			setting{project: gitlabsim.Project{PipelinesMustSucceed: true}},
			func(b *bench) { b.CancelAutoMerge(7, 1, "erin"); b.SetPipeline(7, 1, "success") },
		},
		"before the pipeline fails": {
			setting{rule: whenPipelineSucceeds},
			func(b *bench) { b.CancelAutoMerge(7, 1, "erin"); b.SetPipeline(7, 1, "failed") },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.rule.open = gitlabsim.MergeRequest{HasPipeline: true}
			onBench(t, c.rule, func(b *bench) {
				b.approve()
				if !b.mr().AutoMerge {
					t.Fatal("no auto-merge")
				}
				c.happens(b)
				wait(11 * time.Minute)
				b.blocked("Approved, but blocked ·", "Auto-merge was cancelled in GitLab; if it is still to be merged, an approver or Bob has to press Retry")
				b.SetPipeline(7, 1, "success")
				wait(20 * time.Minute)
				if b.mr().State != "opened" || b.puts() != 1 {
					t.Errorf("%s after %d merges", b.mr().State, b.puts())
				}
				b.press(b.bob, gate.ActionRetry)
				wait(3 * time.Second)
				b.merged()
			})
		})
	}
	t.Run("GitLab failed to merge", func(t *testing.T) {
		t.Parallel()
		onBench(t, setting{rule: whenPipelineSucceeds, open: gitlabsim.MergeRequest{HasPipeline: true}}, func(b *bench) {
			b.approve()
			b.FailNextMerge(7, 1, "the hook said no")
			b.SetPipeline(7, 1, "success")
			wait(11 * time.Minute)
			b.merged() // tried again
			told := b.chat.MessagesTo(gate.Recipient{ID: b.bob.ID})
			if !slices.ContainsFunc(told, func(m gatetest.ChatMessage) bool {
				return strings.Contains(reads(m.History[0]), "GitLab: the hook said no")
			}) {
				t.Error("nobody told Bob of what GitLab said")
			}
		})
	})
	t.Run("set again in GitLab", func(t *testing.T) {
		t.Parallel()
		onBench(t, setting{rule: whenPipelineSucceeds, open: gitlabsim.MergeRequest{HasPipeline: true}}, func(b *bench) {
			b.approve()
			b.CancelAutoMerge(7, 1, "erin")
			wait(11 * time.Minute)
			b.SetAutoMerge(7, 1, "erin")
			wait(11 * time.Minute)
			b.sees(b.alice, "Approved, waiting for the pipeline ·")
			b.SetPipeline(7, 1, "success")
			wait(11 * time.Minute)
			b.merged()
		})
	})
}
