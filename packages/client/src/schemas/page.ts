import { z } from "zod";
import { wholeNumber } from "./values.ts";

/** A page of a list. */
export const pageOf = <Item extends z.ZodType>(item: Item) =>
  z.object({
    data: z.array(item),
    next: z.string().nullable().meta({
      description:
        "The `cursor` of the next page; null on the last one. A page can be short or empty and still have a next one.",
    }),
  });

/** A page of a list; `next` is the `cursor` of the following page, null on the last. */
export interface Page<Item> {
  data: Item[];
  next: string | null;
}

/** Query parameters that every list has, besides its filters. */
export const pageQuery = {
  cursor: z
    .string()
    .max(1_000)
    .optional()
    .meta({ description: "The `next` of the previous page, with the same filters" }),
  limit: wholeNumber({ min: 1, max: 200 }).default(50),
};

/** The same parameters in the form that the client takes. */
export interface PageQuery {
  cursor?: string;
  /** 1 to 200, default 50. */
  limit?: number;
}
