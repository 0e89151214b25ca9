/** What a step needs, or a node offers. */
export function Tags({ tags, none = "any node" }: { tags: readonly string[]; none?: string }) {
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
