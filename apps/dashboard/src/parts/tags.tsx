/** What a node says of each workflow that its agent has the code of; a step needs its own. */
export const KNOWS = "workflow:";

/** What a step needs, or a node offers, besides the code of workflows. */
export function Tags({ tags: all, none = "any node" }: { tags: readonly string[]; none?: string }) {
  const tags = all.filter((tag) => !tag.startsWith(KNOWS));
  if (tags.length === 0) return <span className="muted">{none}</span>;
  return (
    <span className="tags">
      {tags.map((tag) => (
        <code key={tag} className="tag">
          {tag}
        </code>
      ))}
    </span>
  );
}
