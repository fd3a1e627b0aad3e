package policy

// Considered is a rule as it was looked at for a project and a target branch.
type Considered struct {
	Place   int // in the policy, counted from 1
	Rule    *Rule
	Project bool // some pattern matches the project
	Target  bool // some pattern matches the target branch
	// Unsure: no pattern matches what is known of the project, but some are of
	// the other kind: IDs where only the path is known, or the other way round.
	Unsure bool
}

// Holds says that the rule matches.
func (c *Considered) Holds() bool { return c.Project && c.Target }

// Consider looks at the rules as Match does, and says of each how it fares; the
// last one is the first that matches, or the policy's last, if none does. Of the
// project either the ID or the path may be left out.
func (p *Policy) Consider(project ProjectRef, target string) []Considered {
	var list []Considered
	for i := range p.Rules {
		c := Considered{Place: i + 1, Rule: &p.Rules[i]}
		c.Project, c.Target = c.Rule.matchesProject(project), c.Rule.matchesTarget(target)
		for _, pattern := range c.Rule.Projects {
			other := allDigits(pattern) && project.ID == 0 || !allDigits(pattern) && project.Path == ""
			c.Unsure = c.Unsure || other && !c.Project
		}
		if list = append(list, c); c.Holds() {
			break
		}
	}
	return list
}
